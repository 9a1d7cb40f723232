// The applier function: carries verdicts out, within the breaker.
package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
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

func wire(log *slog.Logger) (*applier.Handler, error) {
	c, err := applier.ReadConfig()
	if err != nil {
		return nil, err
	}
	aws, err := cloud.Load(os.Getenv)
	if err != nil {
		return nil, err
	}
	params := cloud.NewParameterStore(aws, time.Now)
	token := cloud.NewParameter(params, c.TokenName)
	reg, err := registry.New(registry.Config{URL: c.RegistryURL, Token: token.Value, UserAgent: telemetry.UserAgent(c.Contact), Log: log})
	if err != nil {
		return nil, err
	}
	h := applier.New(reg)
	h.Store = dynamo.New(dynamodb.NewFromConfig(aws), dynamo.Config{
		DomainsTable: c.DomainsTable, RecordsTable: c.RecordsTable, IndexName: c.Index, Now: time.Now,
	})
	h.Queue = sqs.New(awssqs.NewFromConfig(aws), c.QueueURL)
	h.Mode = applier.Switch(c.Mode, cloud.NewParameter(params, c.ModeName).Value)
	h.Limits, h.Protected = c.Limits(), c.Protected
	h.Log, h.Metrics, h.Now, h.Margin = log, telemetry.NewMetrics(os.Stdout, time.Now), time.Now, 20*time.Second
	return h, nil
}
