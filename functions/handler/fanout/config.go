package fanout

import (
	"os"

	"github.com/lapseguard/lapseguard/shared/cloud"
)

// Config is the function's environment.
type Config struct {
	DomainsTable string `env:"LAPSEGUARD_TABLE_DOMAINS,required"`
	RecordsTable string `env:"LAPSEGUARD_TABLE_RECORDS,required"`
	QueueURL     string `env:"LAPSEGUARD_QUEUE_URL,required"`
	RegistryURL  string `env:"LAPSEGUARD_REGISTRY_URL,required"`
	TokenName    string `env:"LAPSEGUARD_REGISTRY_TOKEN_PARAMETER,required"`
	Contact      string `env:"LAPSEGUARD_CONTACT"`
	Segments     int    `env:"LAPSEGUARD_SEGMENTS" envDefault:"4"`
	BaselineDays int    `env:"LAPSEGUARD_BASELINE_DAYS" envDefault:"14"`
}

// ReadConfig reads the process's environment; the error lists everything wrong and what to set.
func ReadConfig() (Config, error) { return ParseConfig(os.Environ()) }

// ParseConfig reads an environment given as NAME=value.
func ParseConfig(environ []string) (Config, error) {
	var c Config
	err := cloud.Parse(&c, environ, func() []error {
		return []error{cloud.Positive("LAPSEGUARD_SEGMENTS", c.Segments, 64), cloud.Positive("LAPSEGUARD_BASELINE_DAYS", c.BaselineDays, 90)}
	})
	return c, err
}
