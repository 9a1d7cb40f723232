package applier

import (
	"fmt"
	"os"

	"github.com/lapseguard/lapseguard/shared/cloud"
	"github.com/lapseguard/lapseguard/shared/safety"
)

// Environment is the function's environment.
type Environment struct {
	DomainsTable string   `env:"LAPSEGUARD_TABLE_DOMAINS,required"`
	RecordsTable string   `env:"LAPSEGUARD_TABLE_RECORDS,required"`
	Index        string   `env:"LAPSEGUARD_INDEX_ATTENTION,required"`
	QueueURL     string   `env:"LAPSEGUARD_QUEUE_URL,required"`
	RegistryURL  string   `env:"LAPSEGUARD_REGISTRY_URL,required"`
	TokenName    string   `env:"LAPSEGUARD_REGISTRY_TOKEN_PARAMETER,required"`
	Mode         Mode     `env:"LAPSEGUARD_MODE" envDefault:"observe"`
	ModeName     string   `env:"LAPSEGUARD_MODE_PARAMETER"`
	UnverifyAt   string   `env:"LAPSEGUARD_UNVERIFY_AT" envDefault:"pending-delete"`
	BreakerCount int      `env:"LAPSEGUARD_BREAKER_COUNT" envDefault:"20"`
	BreakerShare float64  `env:"LAPSEGUARD_BREAKER_SHARE" envDefault:"0.2"` // percent
	Protected    []string `env:"LAPSEGUARD_PROTECTED"`
	DigestTopic  string   `env:"LAPSEGUARD_DIGEST_TOPIC" envDefault:"off"` // ARN, or off
	Silent       []string `env:"LAPSEGUARD_ACCEPTED_SILENT"`
	Contact      string   `env:"LAPSEGUARD_CONTACT,required"`
}

// ReadEnvironment reads the process's environment; the error lists everything wrong and what to set.
func ReadEnvironment() (Environment, error) { return ParseEnvironment(os.Environ()) }

// ParseEnvironment reads an environment given as NAME=value.
func ParseEnvironment(environ []string) (Environment, error) {
	var c Environment
	err := cloud.Parse(&c, environ, func() []error {
		var errs []error
		if !c.Mode.valid() {
			errs = append(errs, fmt.Errorf("LAPSEGUARD_MODE is %q: set observe, enforce or stop", c.Mode))
		}
		if c.UnverifyAt != "pending-delete" && c.UnverifyAt != "redemption" {
			errs = append(errs, fmt.Errorf("LAPSEGUARD_UNVERIFY_AT is %q: set pending-delete or redemption", c.UnverifyAt))
		}
		if err := c.Limits().Validate(); err != nil {
			errs = append(errs, err)
		}
		return errs
	})
	return c, err
}

// Limits are the breaker's.
func (c Environment) Limits() safety.Limits {
	return safety.Limits{Count: c.BreakerCount, Share: c.BreakerShare / 100}
}
