// The applier function: carries verdicts out, within the breaker.
package main

import (
	"fmt"
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
	env, err := applier.ReadEnvironment()
	if err != nil {
		return nil, err
	}
	aws, err := cloud.Load(os.Getenv)
	if err != nil {
		return nil, err
	}
	params := cloud.NewParameterStore(aws, time.Now)
	token := cloud.NewParameter(params, env.TokenName)
	reg, err := registry.New(registry.Config{URL: env.RegistryURL, Token: token.Value, UserAgent: telemetry.UserAgent(env.Contact), Log: log})
	if err != nil {
		return nil, err
	}
	c := applier.To(reg)
	c.Store = dynamo.New(dynamodb.NewFromConfig(aws), dynamo.Config{
		DomainsTable: env.DomainsTable, RecordsTable: env.RecordsTable, IndexName: env.Index, Now: time.Now,
	})
	c.Queue = sqs.New(awssqs.NewFromConfig(aws), env.QueueURL)
	turned := cloud.NewParameter(params, env.ModeName)
	c.Mode, c.Differ = applier.Switch(env.Mode, turned.Value), applier.Differ(env.Mode, turned.Value)
	if env.DigestTopic != "off" {
		if c.Mail, err = cloud.NewTopic(aws, env.DigestTopic, time.Now); err != nil {
			return nil, fmt.Errorf("LAPSEGUARD_DIGEST_TOPIC: %w", err)
		}
	}
	c.Limits, c.Protected, c.UnverifyEarly = env.Limits(), env.Protected, env.UnverifyAt == "redemption"
	c.AcceptedSilent = env.Silent
	c.Log, c.Metrics, c.Now, c.Margin = log, telemetry.NewMetrics(os.Stdout, time.Now, log), time.Now, 20*time.Second
	return applier.New(c)
}
