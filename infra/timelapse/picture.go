package main

import (
	"fmt"
	"strings"
	"text/template"
)

// bar is one policy in the picture. Coordinates in the picture's own units.
type bar struct {
	Name                 string
	Y                    int
	Protected, Soon, Bad float64 // widths
	SoonX, BadX          float64
	Words                string
}

const (
	barsFrom = 150
	barsWide = 420
	barHigh  = 34
)

// picture shows the policies side by side. It says in words what it shows, for who cannot see it.
func (r Result) picture() string {
	var bars []bar
	var words []string
	for i, c := range r.Columns {
		all := float64(max(c.All.Takeovers, 1))
		b := bar{Name: c.Name, Y: 64 + i*(barHigh+14)}
		b.Protected = barsWide * float64(c.All.Takeovers-c.All.Missed) / all
		b.Soon = barsWide * float64(c.All.Soon) / all
		b.Bad = barsWide*float64(c.All.Missed)/all - b.Soon
		b.SoonX, b.BadX = barsFrom+b.Protected, barsFrom+b.Protected+b.Soon
		b.Words = fmt.Sprintf("%d missed, %d wronged", c.All.Missed, c.All.Wrong)
		words = append(words, fmt.Sprintf("%s: %d of %d takeovers missed, %d holders unverified wrongly", c.Name, c.All.Missed, c.All.Takeovers, c.All.Wrong))
		bars = append(bars, b)
	}
	var out strings.Builder
	err := pictureText.Execute(&out, map[string]any{
		"Bars": bars, "Words": strings.Join(words, "; "), "Height": 84 + len(bars)*(barHigh+14), "Takeovers": r.Columns[0].All.Takeovers,
		"X": barsFrom, "Bar": barHigh, "End": barsFrom + barsWide + 10, "Domains": r.Size.Domains, "Days": r.Size.Days,
	})
	if err != nil {
		return "<!-- " + err.Error() + " -->" // the template is part of the program, and a test runs it
	}
	return out.String()
}

var pictureText = template.Must(template.New("picture").Funcs(template.FuncMap{"mid": func(y int) int { return y + barHigh/2 + 5 }}).Parse(
	`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {{.Height}}" role="img" aria-label="Takeovers missed, by policy" font-family="system-ui, sans-serif" font-size="14">
<title>Takeovers missed, by policy</title>
<desc>{{.Words}}</desc>
<rect width="760" height="{{.Height}}" fill="#fff"/>
<text x="16" y="26" font-size="16" font-weight="600" fill="#1c2330">{{.Takeovers}} takeovers by way of a lapsed domain, in a simulated world</text>
<text x="16" y="46" fill="#5a6472">{{.Domains}} domains, {{.Days}} days, lapses oversampled, nobody at the keyboard</text>
{{range .Bars}}<text x="16" y="{{mid .Y}}" fill="#1c2330">{{.Name}}</text>
<rect x="{{$.X}}" y="{{.Y}}" width="{{printf "%.1f" .Protected}}" height="{{$.Bar}}" fill="#2e7d5b"/>
<rect x="{{printf "%.1f" .SoonX}}" y="{{.Y}}" width="{{printf "%.1f" .Soon}}" height="{{$.Bar}}" fill="#e0a72e"/>
<rect x="{{printf "%.1f" .BadX}}" y="{{.Y}}" width="{{printf "%.1f" .Bad}}" height="{{$.Bar}}" fill="#b3362b"/>
<text x="{{$.End}}" y="{{mid .Y}}" fill="#1c2330">{{.Words}}</text>
{{end}}<text x="150" y="{{.Height}}" dy="-8" fill="#5a6472">green: protected before; yellow: within a day after; red: missed</text>
</svg>
`))
