package lifecycle

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

// TLD is what is known of a registry's rules beyond RFC 3915. The zero value is a TLD that nobody described.
type TLD struct {
	// Described: somebody read the registry's rules and wrote them into tld.txt. Where nobody did, no verdict
	// unverifies on its own: it holds.
	Described bool
	// OffInDeletion: the delegation must be out of the zone in redemption and pending delete (gTLDs: ICANN
	// Expired Registration Recovery Policy 3.2). A name that is still there contradicts the registry.
	OffInDeletion bool
	// Shows: it is known that it must, so that the zone shows every deletion.
	Shows bool
	// FreeWhenAbsent: a 404 of the authoritative server means that anyone can register the name; false where
	// the registry may hide names in quarantine.
	FreeWhenAbsent bool
	// Ask is the source to ask: SourceRDAP, or SourceStatus where no RDAP server is known or none that answers.
	Ask source.Source
	// Redemption is for how long the holder can get a deleted name back; 0: not at all, or not known.
	Redemption time.Duration
	// Release is the shortest known time from the first step of a lapse to release; 0 is unknown.
	Release time.Duration
	// Words are the statuses that do not mean here what RFC 8056 says.
	Words Words
}

// shownPending is the shortest pending delete that two daily looks cannot miss.
const shownPending = 4 * 24 * time.Hour

// LostAt is when nobody can get a deleted name back any more, less Reserve, where no phase of the registry tells; 0: a
// pending delete will, or it is not known.
func (t TLD) LostAt(s State) Instant {
	pending := t.Release-t.Redemption >= shownPending && !strings.Contains(string(t.Words), string(WordRedemption))
	if s.Deleted == 0 || t.Redemption == 0 || pending {
		return 0
	}
	return s.Deleted.Add(t.Redemption - Reserve)
}

// Words tell what a registry's statuses mean: "status = meaning, status = meaning". A string, so that a TLD stays
// comparable.
type Words string

// Means gives the meaning of a status (in RDAP's spelling) where these words have one of their own for it.
func (w Words) Means(status string) (Word, bool) {
	for pair := range strings.SplitSeq(string(w), ",") {
		if said, means, ok := strings.Cut(pair, "="); ok && strings.TrimSpace(said) == status {
			return Word(strings.TrimSpace(means)), true
		}
	}
	return WordNone, false
}

//go:embed tld.txt
var tldList string

// tlds is tld.txt, by suffix. A file that does not parse describes nothing, so that every verdict holds; a test
// keeps it from being built in.
var tlds = sync.OnceValue(func() map[string]TLD {
	table, _ := parseTLDs(tldList)
	return table
})

// TLDOf gives the rules for names directly below a suffix (lower case, no dots around it): a top-level domain, or a
// longer one, which is described only if it is listed. Two-letter and internationalised TLDs that are not listed
// are not described, nor is the empty suffix; other TLDs follow ICANN's rules for gTLDs.
func TLDOf(suffix string) TLD {
	if t, ok := tlds()[suffix]; ok {
		return t
	}
	if suffix == "" || len(suffix) == 2 || strings.HasPrefix(suffix, "xn--") || strings.Contains(suffix, ".") {
		return TLD{}
	}
	return tlds()["*"]
}

// The columns of tld.txt.
const (
	colSuffixes = iota
	colAsk
	colAbsent
	colRedemption
	colOff
	colPath
	colWords
	colSource
	colRead
	columns
)

// parseTLDs reads a table in the form of tld.txt. It is strict: an error names the line.
func parseTLDs(text string) (map[string]TLD, error) {
	table := map[string]TLD{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		row := strings.Split(line, "|")
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		t, err := parseTLD(row)
		if err != nil {
			return nil, fmt.Errorf("tld.txt line %d: %w", number, err)
		}
		for suffix := range strings.FieldsSeq(row[colSuffixes]) {
			if _, twice := table[suffix]; twice || suffix != strings.ToLower(suffix) || strings.Trim(suffix, ".") != suffix {
				return nil, fmt.Errorf("tld.txt line %d: %q is listed twice, or no suffix", number, suffix)
			}
			table[suffix] = t
		}
	}
	return table, nil
}

func parseTLD(row []string) (TLD, error) {
	if len(row) != columns {
		return TLD{}, fmt.Errorf("%d columns, want %d", len(row), columns)
	}
	_, err := time.Parse(time.DateOnly, row[colRead])
	if row[colSuffixes] == "" || row[colSource] == "" || err != nil {
		return TLD{}, fmt.Errorf("no suffix, no source, or no date: %q", row)
	}
	t := TLD{Ask: source.SourceRDAP}
	for _, c := range []struct {
		column int
		words  []string
	}{
		{colAsk, []string{"iana", "supplemental", "status"}},
		{colAbsent, []string{"free", "held", "unknown"}},
		{colOff, []string{"yes", "no", "unknown"}},
	} {
		if !slices.Contains(c.words, row[c.column]) {
			return TLD{}, fmt.Errorf("%q is none of %q", row[c.column], c.words)
		}
	}
	if row[colAsk] == "status" {
		t.Ask = source.SourceStatus
	}
	t.FreeWhenAbsent = row[colAbsent] == "free"
	t.Shows = row[colOff] == "yes"
	t.OffInDeletion = row[colOff] != "no" // unknown: a name that is still there is held
	if t.Redemption, t.Described, err = parseDays(row[colRedemption]); err != nil {
		return TLD{}, err
	}
	if t.Release, _, err = parseDays(row[colPath]); err != nil {
		return TLD{}, err
	}
	t.Words, err = parseWords(row[colWords])
	return t, err
}

// parseDays reads a number of days, or "unknown".
func parseDays(s string) (d time.Duration, known bool, err error) {
	if s == "unknown" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(s, 10, 9)
	if err != nil {
		return 0, false, fmt.Errorf("days: %w", err)
	}
	return time.Duration(n) * 24 * time.Hour, true, nil // #nosec G115 -- below 512
}

func parseWords(s string) (Words, error) {
	if s == "" {
		return "", nil
	}
	for pair := range strings.SplitSeq(s, ",") {
		said, means, ok := strings.Cut(pair, "=")
		if said = strings.TrimSpace(said); !ok || said == "" || said != strings.ToLower(said) || !slices.Contains(registryWords, Word(strings.TrimSpace(means))) {
			return "", fmt.Errorf("%q is not a status and one of %q", pair, registryWords)
		}
	}
	return Words(s), nil
}
