package storetest

import (
	"fmt"
	"testing"

	"github.com/lapseguard/lapseguard/shared/store"
)

// Bench measures the calls that the daily run makes, on an empty store. Figures are per item where the name
// says so.
func Bench(b *testing.B, s store.Store) {
	const n = 1000
	name := func(i int) string { return fmt.Sprintf("domain-%d.example", i) }
	var groups [][]store.Write
	var keys []store.Key
	for i := range n {
		groups = append(groups, []store.Write{{Item: store.Item{Key: dom(name(i)), Data: data(400)}}})
		keys = append(keys, dom(name(i)))
	}
	for _, err := range s.WriteEach(b.Context(), groups) {
		if err != nil {
			b.Fatal(err)
		}
	}
	perItem := func(b *testing.B, items int) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(items), "ns/item")
	}
	b.Run("Get", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := s.Get(b.Context(), keys[i%n]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("GetMany", func(b *testing.B) {
		for b.Loop() {
			if items, err := s.GetMany(b.Context(), keys); err != nil || len(items) != n {
				b.Fatal(len(items), err)
			}
		}
		perItem(b, n)
	})
	b.Run("Scan", func(b *testing.B) {
		for b.Loop() {
			for cursor, first := "", true; first || cursor != ""; first = false {
				var err error
				if _, cursor, err = s.Scan(b.Context(), 0, 1, cursor, 500); err != nil {
					b.Fatal(err)
				}
			}
		}
		perItem(b, n)
	})
	written := 0
	fresh := func() store.Write {
		written++
		return store.Write{Item: store.Item{Key: rec("bench", fmt.Sprint(written)), Data: data(400)}}
	}
	b.Run("Write", func(b *testing.B) {
		for b.Loop() {
			if err := s.Write(b.Context(), fresh()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("WriteEach", func(b *testing.B) {
		for b.Loop() {
			batch := make([][]store.Write, 100)
			for i := range batch {
				batch[i] = []store.Write{fresh()}
			}
			for _, err := range s.WriteEach(b.Context(), batch) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		perItem(b, 100)
	})
}
