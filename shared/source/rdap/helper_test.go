package rdap

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// bootstrapFile writes a file in RFC 9224 form; each service is suffixes and base URLs, separated by spaces.
func bootstrapFile(t testing.TB, services ...[2]string) string {
	t.Helper()
	var list [][][]string
	for _, s := range services {
		list = append(list, [][]string{strings.Fields(s[0]), strings.Fields(s[1])})
	}
	data, err := json.Marshal(map[string]any{"version": "1.0", "services": list})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dns.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newClient gives a client that asks srv about names under .example.
func newClient(t testing.TB, url string, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{Bootstrap: bootstrapFile(t, [2]string{"example", url + "/rdap/"}), Now: at(noon), Timeout: 5 * time.Second}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// respond is a handler with one answer.
func respond(status int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// internet is a transport for which every host is the given TLS server, or another where names maps it.
func internet(t testing.TB, srv *httptest.Server) *http.Transport {
	t.Helper()
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, srv.Listener.Addr().String())
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

const jsonType = "application/rdap+json"

const goodBody = `{"objectClassName":"domain","ldhName":"lapsed.example","status":["pending delete","client hold"],
"events":[{"eventAction":"registration","eventDate":"2019-03-01T10:00:00Z"},
{"eventAction":"expiration","eventDate":"2026-03-01T10:00:00Z"}]}`

func wantCause(t *testing.T, o source.Observation, want source.Cause) {
	t.Helper()
	if o.Outcome != source.Unknown || o.Cause != want || o.Registration != nil {
		t.Errorf("got %s %q (%q), want unknown %q", o.Outcome, o.Cause, o.Said, want)
	}
}

// bigBody is an answer of about 8.6 kB as a large registry gives it: five entities with vCards, four name servers
// with glue, DS data, notices, a redaction list.
func bigBody() []byte {
	var b strings.Builder
	b.WriteString(`{"rdapConformance":["rdap_level_0","icann_rdap_response_profile_1","redacted"],"objectClassName":"domain",` +
		`"handle":"2138514_DOMAIN_EX-VRSN","ldhName":"LAPSED.EXAMPLE","unicodeName":"lapsed.example","links":[` +
		`{"value":"https://rdap.example/domain/lapsed.example","rel":"self","href":"https://rdap.example/domain/lapsed.example","type":"application/rdap+json"}],` +
		`"status":["client delete prohibited","client transfer prohibited","client update prohibited","server hold"],"entities":[`)
	for i, role := range []string{"registrar", "registrant", "administrative", "technical", "billing"} {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"objectClassName":"entity","handle":"H%d-EX","roles":["%s"],`, 290+i, role)
		if i == 0 {
			b.WriteString(`"publicIds":[{"type":"IANA Registrar ID","identifier":"292"}],`)
		}
		fmt.Fprintf(&b, `"vcardArray":["vcard",[["version",{},"text","4.0"],["fn",{},"text","Example Contact Number %d, Incorporated"],`+
			`["org",{},"text","Example Organisation Number %d"],["adr",{"cc":"US"},"text",["","Suite %d","123 Example Street","Exampleville","Quebec","G1V 2M2",""]],`+
			`["tel",{"type":"voice"},"uri","tel:+1.5555550%d"],["tel",{"type":"fax"},"uri","tel:+1.5555551%d"],`+
			`["contact-uri",{},"uri","https://registrar.example/contact/%d"]]],`+
			`"events":[{"eventAction":"last changed","eventDate":"2024-01-0%dT00:00:00Z"}],`+
			`"remarks":[{"title":"REDACTED FOR PRIVACY","type":"object redacted due to authorization","description":["Some of the data in this object has been removed."]}],`+
			`"links":[{"rel":"self","href":"https://rdap.example/entity/H%d-EX","type":"application/rdap+json"}]}`, i, i, i, i, i, i, i+1, i)
	}
	b.WriteString(`],"events":[{"eventAction":"registration","eventDate":"2019-03-01T10:00:00Z"},{"eventAction":"expiration","eventDate":"2027-03-01T10:00:00Z"},` +
		`{"eventAction":"last changed","eventDate":"2024-02-02T01:02:03Z"},{"eventAction":"last update of RDAP database","eventDate":"2026-11-24T00:00:00Z"}],` +
		`"secureDNS":{"delegationSigned":true,"dsData":[{"keyTag":12345,"algorithm":13,"digestType":2,"digest":"49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC0000"}]},"nameservers":[`)
	for i := range 4 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"objectClassName":"nameserver","ldhName":"NS%d.LAPSED.EXAMPLE","ipAddresses":{"v4":["192.0.2.%d"],"v6":["2001:db8::%d"]},`+
			`"links":[{"rel":"self","href":"https://rdap.example/nameserver/ns%d.lapsed.example","type":"application/rdap+json"}]}`, i, i, i, i)
	}
	b.WriteString(`],"redacted":[`)
	for i := range 9 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":{"description":"Registrant Field %d"},"postPath":"$.entities[?(@.roles[0]=='registrant')].vcardArray[1][%d][3]","pathLang":"jsonpath","method":"emptyValue","reason":{"description":"Server policy"}}`, i, i)
	}
	b.WriteString(`],"notices":[{"title":"Terms of Use","description":["Service subject to Terms of Use."],"links":[{"href":"https://rdap.example/terms","type":"text/html"}]},` +
		`{"title":"Status Codes","description":["For more information on domain status codes, please visit https://icann.org/epp"],"links":[{"href":"https://icann.org/epp","type":"text/html"}]},` +
		`{"title":"RDDS Inaccuracy Complaint Form","description":["URL of the ICANN RDDS Inaccuracy Complaint Form: https://icann.org/wicf"],"links":[{"href":"https://icann.org/wicf","type":"text/html"}]}],"port43":"whois.registrar.example","lang":"en-US","x_extension":["none of these members is read, and all of them are checked to their end"]}`)
	return []byte(b.String())
}
