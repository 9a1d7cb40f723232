// The checker function: answers messages from the queue.
package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/shared/cloud"
	"github.com/lapseguard/lapseguard/shared/queue/sqs"
	"github.com/lapseguard/lapseguard/shared/store/dynamo"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

func main() {
	log := telemetry.NewLogger(os.Stdout, slog.LevelInfo)
	h, err := wire(log)
	if err != nil {
		log.Error("cold_start_failed", "error", err)
		os.Exit(1)
	}
	lambda.Start(h.Handle)
}

func wire(log *slog.Logger) (*checker.Handler, error) {
	env, err := checker.ReadEnvironment()
	if err != nil {
		return nil, err
	}
	aws, err := cloud.Load(os.Getenv)
	if err != nil {
		return nil, err
	}
	token := cloud.NewParameter(cloud.NewParameterStore(aws, time.Now), env.StatusToken)
	table := dynamo.New(dynamodb.NewFromConfig(aws), dynamo.Config{DomainsTable: env.DomainsTable, RecordsTable: env.RecordsTable, Now: time.Now})
	c, err := checker.Sources{
		Contact: env.Contact, Canaries: env.Canaries, Bootstrap: env.RDAPBootstrap, RDAPRate: env.RDAPRate, DNSServers: env.DNSServers, Resolver: env.DNSResolver, OwnServers: env.OwnServers,
		StatusURL: env.StatusURL, StatusAPI: env.StatusAPI, StatusToken: token.Value, Log: log, Now: time.Now, Store: table,
	}.Config()
	if err != nil {
		return nil, err
	}
	c.Store = table
	c.Metrics = telemetry.NewMetrics(os.Stdout, time.Now, log)
	client := awssqs.NewFromConfig(aws)
	c.Queue, c.DeadLetters = sqs.New(client, env.QueueURL), sqs.NewDeadLetters(client, env.DeadLetters)
	c.GraceUnverify, c.BaselineDays, c.Margin = env.GraceAction == "unverify", env.BaselineDays, 30*time.Second
	c.AcceptedSilent = env.Silent
	return checker.New(c)
}
