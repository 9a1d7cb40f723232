package domain

import (
	"regexp"
	"strings"
	"testing"
)

func TestListDateIsOfTheEmbeddedList(t *testing.T) {
	version := regexp.MustCompile(`(?m)^// VERSION: (\d{4}-\d\d-\d\d)_`).FindStringSubmatch(publicSuffixList)
	if version == nil || version[1] != ListDate {
		t.Errorf("ListDate is %s, the embedded list says %v", ListDate, version)
	}
	if !strings.Contains(publicSuffixList[:300], "Mozilla Public") {
		t.Error("the embedded list has lost its licence header")
	}
}

func TestListIsWhole(t *testing.T) {
	known := readLists()
	if n := len(known.rules) + len(known.bases); n < 6900 {
		t.Errorf("%d ICANN rules", n)
	}
	if known.rules["github.io"] != 0 {
		t.Error("private rules were read")
	}
	exceptions := 0
	for name, r := range known.rules {
		if ascii, ok := canonical(name); !ok || ascii != name {
			t.Errorf("rule %q is no canonical name", name)
		}
		if r == exceptionRule {
			exceptions++
		}
	}
	if exceptions == 0 || known.rules["xn--p1ai"] != suffixRule {
		t.Errorf("%d exceptions, .xn--p1ai is rule %d", exceptions, known.rules["xn--p1ai"])
	}
}

// privateSections are the suffixes of the list's private section by the heading above them.
func privateSections(t *testing.T) map[string][]string {
	t.Helper()
	_, private, found := strings.Cut(publicSuffixList, "// ===BEGIN PRIVATE DOMAINS===")
	if !found {
		t.Fatal("the embedded list has no private section")
	}
	sections := map[string][]string{}
	for block := range strings.SplitSeq(private, "\n\n") {
		heading := ""
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			switch comment, is := strings.CutPrefix(line, "//"); {
			case is && heading == "":
				heading = headingName(comment)
			case !is && line != "":
				name := strings.TrimPrefix(strings.TrimPrefix(line, "*."), "!")
				sections[heading] = append(sections[heading], name)
			}
		}
	}
	return sections
}

var headingEnd = regexp.MustCompile(`\s:\s|: http`)

func headingName(comment string) string {
	return strings.TrimSpace(headingEnd.Split(strings.TrimSpace(comment), 2)[0])
}

// TestNotCoveredMatchesTheList: each operator's suffixes here are all of those in the list, so that a
// refreshed list shows what changed. (A name below a listed suffix needs no line.)
func TestNotCoveredMatchesTheList(t *testing.T) {
	sections := privateSections(t)
	heading, ours, operators := "", map[string]map[string]bool{}, 0
	for line := range strings.Lines(notCoveredList) {
		line = strings.TrimSpace(line)
		if operator, is := strings.CutPrefix(line, "# "); is {
			heading, operators = operator, operators+1
			ours[heading] = map[string]bool{}
		} else if line != "" && line[0] != '#' {
			ours[heading][line] = true
		}
	}
	for operator, suffixes := range ours {
		listed := sections[operator]
		if len(listed) == 0 {
			t.Errorf("the list knows no operator %q", operator)
		}
		seen := map[string]bool{}
		for _, name := range listed {
			covered := false
			for suffix := range suffixes {
				covered = covered || Below(name, suffix)
			}
			if !covered {
				t.Errorf("%s: %s is missing", operator, name)
			}
			seen[name] = true
		}
		for suffix := range suffixes {
			if !seen[suffix] {
				t.Errorf("%s: %s is not in the list", operator, suffix)
			}
		}
	}
	if operators < 90 {
		t.Errorf("%d operators", operators)
	}
}

func TestNotCoveredHidesNoRegistrableName(t *testing.T) {
	known := readLists()
	for name := range known.notCovered {
		// At the suffix itself the ordinary rules hold; an ICANN suffix must never be listed.
		if _, reason := Parse(name); reason == ReasonPublicSuffix || reason == ReasonUnknownTLD {
			t.Errorf("%s: %s", name, reason)
		}
		if _, reason := Parse("some-name." + name); reason != ReasonNotCovered {
			t.Errorf("some-name.%s: %q", name, reason)
		}
	}
}
