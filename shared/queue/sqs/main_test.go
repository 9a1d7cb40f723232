package sqs_test

import (
	"os"
	"testing"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/lapseguard/lapseguard/infra/emulator"
	"github.com/lapseguard/lapseguard/shared/queue/queuetest"
)

func TestMain(m *testing.M) { os.Exit(emulator.Main(m, emulator.Ministack, emulator.ElasticMQ)) }

func TestMinistack(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Queue {
		t.Parallel()
		cfg := emulator.Config(t)
		url, dead := emulator.NewQueue(t, cfg, emulator.Queue{VisibilitySeconds: 1, MaxReceive: queuetest.MaxReceive})
		return queuetest.NewSQS(awssqs.NewFromConfig(cfg), url, dead)
	})
}

func TestElasticMQ(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Queue {
		t.Parallel()
		cfg := emulator.ElasticMQConfig(t)
		url, dead := emulator.NewQueue(t, cfg, emulator.Queue{VisibilitySeconds: 1, MaxReceive: queuetest.MaxReceive})
		return queuetest.NewSQS(awssqs.NewFromConfig(cfg), url, dead)
	})
}
