package rdap

import (
	"net/http"
	"testing"

	"github.com/lapseguard/lapseguard/shared/source"
)

// TestNotices: a quota notice slows us down and leaves the answer as good as it is; terms of use are none; and neither
// an object in the place of the list nor a conformance that nobody heard of matters.
func TestNotices(t *testing.T) {
	for name, tt := range map[string]struct {
		member string
		slower bool
	}{
		"none":        {`"rdapConformance":["rdap_level_0","rdap_level_9","x_of_our_own"]`, false},
		"terms":       {`"notices":[{"title":"Terms of Use","description":["You will be blocked if the query limit is exceeded.","Access may be rate limited."]}]`, false},
		"quota":       {`"notices":[{"title":"Notice","description":["Daily query quota exceeded for 192.0.2.1"]}]`, true},
		"title":       {`"notices":[{"title":"Rate limit reached"}]`, true},
		"object":      {`"notices":{"title":"Too Many Requests","description":"slow down"}`, true},
		"object, no":  {`"notices":{"title":"Status codes","description":["see https://icann.org/epp"]}`, false},
		"odd members": {`"notices":["rate limit exceeded",7,null,{"title":{},"description":{"a":1}}],"rdapConformance":{"a":[1]}`, false},
	} {
		srv := serve(t, respond(200, jsonType, "{"+tt.member+","+goodBody[1:]))
		o := newClient(t, srv.URL).Lookup(t.Context(), "lapsed.example", "example")
		if o.Outcome != source.Observed || len(o.Registration.Statuses) != 2 || o.Slower != tt.slower {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

// TestPlainServerLeadsNowhere: what comes without TLS may be anybody's word, so that it leads to no other server, also
// not to one of the bootstrap file's; to its own https it may.
func TestPlainServerLeadsNowhere(t *testing.T) {
	plain := server{base: "http://rdap.nic.kg/", host: "rdap.nic.kg:80"}
	secure := server{base: "https://rdap.example/", host: "rdap.example:443"}
	hosts := map[string]bool{"rdap.example:443": true, "rdap.nic.kg:443": true, "other.example:443": true}
	for url, want := range map[string][2]bool{
		"https://rdap.nic.kg/domain/a.kg":   {true, true},
		"https://other.example/domain/a.kg": {false, true},
		"http://rdap.nic.kg/domain/a.kg":    {false, false},
	} {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range []server{plain, secure} {
			h := hop{table: &table{hosts: hosts}, server: s}
			if got := h.mayFollow(req.URL); got != want[i] {
				t.Errorf("from %s to %s: %t", s.base, url, got)
			}
		}
	}
}
