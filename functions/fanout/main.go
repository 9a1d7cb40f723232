// The fanout function: brings the registry's list into the table and sends the day's questions.
package main

import (
	"crypto/rand"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/lapseguard/lapseguard/functions/handler/fanout"
	"github.com/lapseguard/lapseguard/shared/cloud"
	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/queue/sqs"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
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

func wire(log *slog.Logger) (*fanout.Handler, error) {
	env, err := fanout.ReadEnvironment()
	if err != nil {
		return nil, err
	}
	aws, err := cloud.Load(os.Getenv)
	if err != nil {
		return nil, err
	}
	token := cloud.NewParameter(cloud.NewParameterStore(aws, time.Now), env.TokenName)
	reg, err := registry.New(registry.Config{URL: env.RegistryURL, Token: token.Value, UserAgent: telemetry.UserAgent(env.Contact), Log: log})
	if err != nil {
		return nil, err
	}
	servers, err := rdap.New(rdap.Config{Bootstrap: env.RDAPBootstrap, UserAgent: telemetry.UserAgent(env.Contact), Log: log})
	var rates func(domain.Name) (rdap.Rate, bool)
	if err != nil { // the plan is told; the watch goes on without it
		log.Error("first_scan_without_a_plan", "error", err)
	} else {
		rates = fanout.Rates(servers, env.RDAPRate)
	}
	return fanout.New(fanout.Config{
		Store: dynamo.New(dynamodb.NewFromConfig(aws), dynamo.Config{DomainsTable: env.DomainsTable, RecordsTable: env.RecordsTable, Now: time.Now}),
		Queue: sqs.New(awssqs.NewFromConfig(aws), env.QueueURL),
		List:  reg, Metrics: telemetry.NewMetrics(os.Stdout, time.Now, log), Log: log, Now: time.Now, Segments: env.Segments, BaselineDays: env.BaselineDays, Margin: 30 * time.Second,
		Rate: rates, CanaryLabel: "lapseguard-" + strings.ToLower(rand.Text()),
	})
}
