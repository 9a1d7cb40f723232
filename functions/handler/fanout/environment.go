package fanout

import (
	"fmt"
	"os"

	"github.com/lapseguard/lapseguard/shared/cloud"
)

// Environment is the function's environment.
type Environment struct {
	DomainsTable string `env:"LAPSEGUARD_TABLE_DOMAINS,required"`
	RecordsTable string `env:"LAPSEGUARD_TABLE_RECORDS,required"`
	QueueURL     string `env:"LAPSEGUARD_QUEUE_URL,required"`
	RegistryURL  string `env:"LAPSEGUARD_REGISTRY_URL,required"`
	TokenName    string `env:"LAPSEGUARD_REGISTRY_TOKEN_PARAMETER,required"`
	Contact      string `env:"LAPSEGUARD_CONTACT"`
	Segments     int    `env:"LAPSEGUARD_SEGMENTS" envDefault:"4"`
	BaselineDays int    `env:"LAPSEGUARD_BASELINE_DAYS" envDefault:"14"`
	// Of checker, for the plan of the first scan.
	RDAPBootstrap string  `env:"LAPSEGUARD_RDAP_BOOTSTRAP"`
	RDAPRate      float64 `env:"LAPSEGUARD_RDAP_RATE" envDefault:"0.5"`
}

// ReadEnvironment reads the process's environment; the error lists everything wrong and what to set.
func ReadEnvironment() (Environment, error) { return ParseEnvironment(os.Environ()) }

// ParseEnvironment reads an environment given as NAME=value.
func ParseEnvironment(environ []string) (Environment, error) {
	var c Environment
	err := cloud.Parse(&c, environ, func() []error {
		errs := []error{cloud.Positive("LAPSEGUARD_SEGMENTS", c.Segments, 64), cloud.Positive("LAPSEGUARD_BASELINE_DAYS", c.BaselineDays, 90)}
		if !(c.RDAPRate > 0) { // NaN too
			errs = append(errs, fmt.Errorf("LAPSEGUARD_RDAP_RATE is %v: set questions a second and server, above 0", c.RDAPRate))
		}
		return errs
	})
	return c, err
}
