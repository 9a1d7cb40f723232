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
	c, err := checker.ReadConfig()
	if err != nil {
		return nil, err
	}
	aws, err := cloud.Load(os.Getenv)
	if err != nil {
		return nil, err
	}
	token := cloud.NewParameter(cloud.NewParameterStore(aws, time.Now), c.StatusToken)
	h, err := checker.New(checker.Sources{
		Contact: c.Contact, Canaries: c.Canaries, Bootstrap: c.RDAPBootstrap, RDAPRate: c.RDAPRate, DNSServers: c.DNSServers, Resolver: c.DNSResolver,
		StatusURL: c.StatusURL, StatusAPI: c.StatusAPI, StatusToken: token.Value, Log: log, Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	h.Store = dynamo.New(dynamodb.NewFromConfig(aws), dynamo.Config{DomainsTable: c.DomainsTable, RecordsTable: c.RecordsTable, Now: time.Now})
	h.Metrics = telemetry.NewMetrics(os.Stdout, time.Now)
	h.Queue = sqs.New(awssqs.NewFromConfig(aws), c.QueueURL)
	h.GraceUnverify, h.BaselineDays, h.Margin = c.GraceAction == "unverify", c.BaselineDays, 30*time.Second
	return h, nil
}
