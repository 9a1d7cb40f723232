package demo

// Row is one case that a guard has to get right.
type Row struct {
	ID   string
	Text string
}

// Rows lists the cases, in the order of the decision table; the scenario has each at least once.
func Rows() []Row {
	return []Row{
		{"active", "registered and delegated: nothing"},
		{"auto-renew", "`auto renew period` with the delegation unchanged: nothing"},
		{"out-of-service", "on hold, inactive or gone, while the registry says registered: watch"},
		{"one-witness", "DNS alone, or the status API alone: look again, the phase stays"},
		{"unknown-source", "no source gives an answer that can be believed: look again"},
		{"ugly-dns", "every way in which a zone's servers fail: no harm"},
		{"ugly-rdap", "every way in which a registry's server fails: no harm"},
		{"ugly-status", "every way in which the status API fails: no harm"},
		{"outage", "an upstream is down when it matters: late, not never"},
		{"grace-once", "expired and out of service, seen once: a second look"},
		{"grace-twice", "expired and out of service, seen twice: hold"},
		{"renewed", "expired and out of service, then back at the same name servers: nothing"},
		{"pending-restore", "the holder is rescuing the name: hold"},
		{"deleted", "redemption or pending delete by the registry, and gone: unverify"},
		{"deleted-first-look", "the same on the first look of all"},
		{"deleted-status-witness", "redemption by the registry, and the status API agrees: unverify"},
		{"deleted-alone", "redemption by the registry's word alone: unverify after a second look"},
		{"still-delegated", "redemption by the registry, yet delegated: hold"},
		{"undescribed-registry", "a registry whose rules nobody described: hold"},
		{"status-deleted", "no RDAP, described: status API and DNS agree twice: unverify"},
		{"status-deleted-undescribed", "no RDAP, not described: hold"},
		{"released", "404 of the authoritative server, and gone, twice: unverify"},
		{"released-after-deletion", "the same after redemption or pending delete: at once"},
		{"released-quarantine", "404 where the registry hides names in quarantine: hold"},
		{"free-yet-delegated", "404 of the authoritative server, yet delegated: hold"},
		{"re-registered", "registered again after a lapse that was seen: unverify"},
		{"re-registered-unseen", "registered after the verification, before the first look: hold"},
		{"re-registered-within-a-day", "registration and verification within a day: hold"},
		{"re-registered-time-unknown", "registered again, verification time unknown: hold"},
		{"re-registered-new-holder", "who verifies under the new registration stays verified"},
		{"changed-hands-interim", "new control after an interim: hold"},
		{"changed-hands-plain", "new control without an interim: watch"},
		{"mail-host", "the domain lives, its mail host lapsed: hold"},
		{"mail-host-itself", "a mail host without addresses of its own, lapsed: hold"},
		{"restored-and-verified-again", "unverified, then restored and verified again: stays verified"},
		{"protected", "a great mail provider reported as deleted: never acted on"},
		{"subdomain-host", "addresses below the registrable domain share its fate; look-alikes do not"},
		{"upper-case-host", "hosts in capitals and with a trailing dot"},
		{"idn-host", "an internationalised domain, in both spellings"},
		{"ip-literal", "no domain: counted, left alone"},
		{"single-label", "no domain: counted, left alone"},
		{"public-suffix", "no registrable domain: counted, left alone"},
		{"sold-suffix", "below a privately sold suffix: not covered, counted, left alone"},
		{"special-use", "a name nobody can register: counted, left alone"},
		{"unknown-tld", "no such top-level domain: counted, left alone"},
		{"malformed-host", "rubbish: counted, left alone"},
	}
}
