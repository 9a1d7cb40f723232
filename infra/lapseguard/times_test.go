package main

import "testing"

func TestTimesAsDatabasesExportThem(t *testing.T) {
	const noon, unknown, refused = "2026-03-01T12:00:00Z", "0001-01-01T00:00:00Z", ""
	for in, want := range map[string]string{
		noon: noon, "2026-03-01 12:00:00": noon, "2026-03-01 12:00:00+00": noon, "2026-03-01 17:30:00+05:30": noon, "2026-03-01 07:00:00-05": noon,
		"2026-03-01 12:00:00.5+00": "2026-03-01T12:00:00.5Z", "1772366400": noon, "1772366400000": noon, "1772366400000000": noon,
		"": unknown, `\N`: unknown, "NULL": unknown, "0000-00-00 00:00:00": unknown,
		"20260301": refused, "soon": refused, "2026-13-01": refused, "-177236640": refused,
	} {
		got, err := parseTime(in)
		if want == refused {
			if err == nil {
				t.Errorf("parseTime(%q) = %s, want an error", in, got)
			}
			continue
		}
		if err != nil || got.Format("2006-01-02T15:04:05.999Z07:00") != want {
			t.Errorf("parseTime(%q) = %s, %v; want %s", in, got, err, want)
		}
	}
}
