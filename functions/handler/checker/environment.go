package checker

import (
	"fmt"
	"os"

	"github.com/lapseguard/lapseguard/shared/cloud"
)

// Environment is the function's environment.
type Environment struct {
	DomainsTable  string   `env:"LAPSEGUARD_TABLE_DOMAINS,required"`
	RecordsTable  string   `env:"LAPSEGUARD_TABLE_RECORDS,required"`
	QueueURL      string   `env:"LAPSEGUARD_QUEUE_URL,required"`
	DeadLetters   string   `env:"LAPSEGUARD_DEAD_LETTERS_URL,required"`
	GraceAction   string   `env:"LAPSEGUARD_GRACE_ACTION" envDefault:"hold"`
	BaselineDays  int      `env:"LAPSEGUARD_BASELINE_DAYS" envDefault:"14"`
	Contact       string   `env:"LAPSEGUARD_CONTACT,required"`
	RDAPBootstrap string   `env:"LAPSEGUARD_RDAP_BOOTSTRAP"`
	RDAPRate      float64  `env:"LAPSEGUARD_RDAP_RATE" envDefault:"0.5"`
	DNSServers    []string `env:"LAPSEGUARD_DNS_SERVERS"`
	DNSResolver   string   `env:"LAPSEGUARD_DNS_RESOLVER"`
	OwnServers    string   `env:"LAPSEGUARD_OWN_SERVERS" envDefault:"on"`
	Canaries      []string `env:"LAPSEGUARD_CANARIES"`
	Silent        []string `env:"LAPSEGUARD_ACCEPTED_SILENT"`
	StatusURL     string   `env:"LAPSEGUARD_STATUS_URL" envDefault:"off"`
	StatusAPI     string   `env:"LAPSEGUARD_STATUS_API" envDefault:"fastly"`
	StatusToken   string   `env:"LAPSEGUARD_STATUS_TOKEN_PARAMETER"`
}

// ReadEnvironment reads the process's environment; the error lists everything wrong and what to set.
func ReadEnvironment() (Environment, error) { return ParseEnvironment(os.Environ()) }

// ParseEnvironment reads an environment given as NAME=value.
func ParseEnvironment(environ []string) (Environment, error) {
	var c Environment
	err := cloud.Parse(&c, environ, func() []error {
		var errs []error
		if c.GraceAction != "hold" && c.GraceAction != "unverify" {
			errs = append(errs, fmt.Errorf("LAPSEGUARD_GRACE_ACTION is %q: set hold or unverify", c.GraceAction))
		}
		if c.RDAPRate <= 0 || c.RDAPRate > 1000 {
			errs = append(errs, fmt.Errorf("LAPSEGUARD_RDAP_RATE is %v: set questions a second and server, above 0 and at most 1000", c.RDAPRate))
		}
		if c.OwnServers != "on" && c.OwnServers != Off {
			errs = append(errs, fmt.Errorf("LAPSEGUARD_OWN_SERVERS is %q: set on or off", c.OwnServers))
		}
		if c.StatusAPI != "fastly" && c.StatusAPI != "domainr-v2" {
			errs = append(errs, fmt.Errorf("LAPSEGUARD_STATUS_API is %q: set fastly or domainr-v2", c.StatusAPI))
		}
		if err := cloud.Positive("LAPSEGUARD_BASELINE_DAYS", c.BaselineDays, 90); err != nil {
			errs = append(errs, err)
		}
		return errs
	})
	return c, err
}
