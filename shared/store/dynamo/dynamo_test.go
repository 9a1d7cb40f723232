package dynamo_test

import (
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/lapseguard/lapseguard/infra/emulator"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/store/dynamo"
	"github.com/lapseguard/lapseguard/shared/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(emulator.Main(m, emulator.DynamoDB)) }

func open(t testing.TB, now func() time.Time) store.Store {
	t.Helper()
	cfg := emulator.Config(t)
	domains, records, index := emulator.Tables(t, cfg)
	return dynamo.New(dynamodb.NewFromConfig(cfg), dynamo.Config{DomainsTable: domains, RecordsTable: records, IndexName: index, Now: now})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		t.Parallel()
		return open(t, now)
	})
}

func BenchmarkStore(b *testing.B) { storetest.Bench(b, open(b, nil)) }
