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
	"github.com/lapseguard/lapseguard/shared/queue/sqs"
	"github.com/lapseguard/lapseguard/shared/registry"
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
	c, err := fanout.ReadConfig()
	if err != nil {
		return nil, err
	}
	aws, err := cloud.Load(os.Getenv)
	if err != nil {
		return nil, err
	}
	token := cloud.NewParameter(cloud.NewParameterStore(aws, time.Now), c.TokenName)
	reg, err := registry.New(registry.Config{URL: c.RegistryURL, Token: token.Value, UserAgent: telemetry.UserAgent(c.Contact), Log: log})
	if err != nil {
		return nil, err
	}
	return &fanout.Handler{
		Store: dynamo.New(dynamodb.NewFromConfig(aws), dynamo.Config{DomainsTable: c.DomainsTable, RecordsTable: c.RecordsTable, Now: time.Now}),
		Queue: sqs.New(awssqs.NewFromConfig(aws), c.QueueURL),
		List:  reg, Metrics: telemetry.NewMetrics(os.Stdout, time.Now), Log: log, Now: time.Now, Segments: c.Segments, BaselineDays: c.BaselineDays, Margin: 30 * time.Second,
		CanaryLabel: "lapseguard-" + strings.ToLower(rand.Text()),
	}, nil
}
