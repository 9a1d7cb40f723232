package lifecycle

import "strings"

// TLD is what is known of a top-level domain's rules beyond RFC 3915.
type TLD struct {
	// Described: somebody read the registry's rules and wrote them here. A TLD nobody described never
	// unverifies on its own.
	Described bool
	// OffInDeletion: the delegation must be out of the zone in redemption and pending delete
	// (gTLDs: ICANN Expired Registration Recovery Policy 3.2).
	OffInDeletion bool
	// FreeWhenAbsent: a 404 of the authoritative server means that anyone can register the name; false where
	// the registry hides names in quarantine.
	FreeWhenAbsent bool
}

var gtld = TLD{Described: true, OffInDeletion: true, FreeWhenAbsent: true}

// quarantine is the rule of registries that hide or keep a deleted name for its holder (often 40 days).
var quarantine = TLD{Described: true, OffInDeletion: true}

// countries holds the country TLDs whose rules were read. Sources are the registries' public policies; read
// 2026-11. Delegation is off in deletion in all of them.
var countries = map[string]TLD{
	// Run on a generic registry platform with the grace periods of RFC 3915.
	"io": gtld, "ac": gtld, "sh": gtld, // Identity Digital, nic.io rules
	"co": gtld,             // registry.co: redemption 15 days, pending delete 5
	"me": gtld,             // domain.me: redemption 30 days, pending delete 5
	"ai": gtld,             // whois.ai on Identity Digital since 2025
	"us": gtld,             // about.us: RFC 3915
	"cc": gtld, "tv": gtld, // Verisign
	// Quarantine or suspension instead of redemption; a 404 or a free look may hide it.
	"eu": quarantine,                   // EURid: quarantine 40 days
	"nl": quarantine,                   // SIDN: quarantine 40 days
	"be": quarantine,                   // DNS Belgium: quarantine 40 days
	"ch": quarantine, "li": quarantine, // SWITCH: 40 days
	"de": quarantine,                   // DENIC: redemption grace period 30 days
	"uk": quarantine,                   // Nominet: suspended from day 30, cancelled from day 92
	"se": quarantine, "nu": quarantine, // Internetstiftelsen: deactivated 60 days
	"it": quarantine, // Registro.it: pendingDelete-redemption 30 days
	"fr": quarantine, // AFNIC: redemption 30 days
	"jp": quarantine, // JPRS: suspended, restorable 20 days
	"ru": quarantine, // cctld.ru: 30 days of preferential renewal
	"cn": quarantine, // CNNIC: redemption
}

// TLDOf gives the rules of a top-level domain (no dot). Two-letter names are countries' and follow rules of
// their own; IDN ones may be either and count as not described.
func TLDOf(tld string) TLD {
	if len(tld) == 2 || strings.HasPrefix(tld, "xn--") {
		return countries[tld]
	}
	return gtld
}
