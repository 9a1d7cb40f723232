package safety

import "testing"

func TestClosingLimits(t *testing.T) {
	for watched, want := range map[int][2]int{
		0: {10, 5}, 1: {1, 1}, 3: {1, 1}, 8: {2, 1}, 39: {9, 4}, 40: {10, 5}, 1000: {10, 5}, 1099: {10, 5}, 1100: {11, 5}, 100_000: {1000, 500},
		500_000: {MaxCount, 2500}, 10_000_000: {MaxCount, MaxCount},
	} {
		l := ClosingLimits(watched)
		if got := [2]int{l.Total(watched), l.Class(watched)}; got != want {
			t.Errorf("%d watched: %v in total and of dependents, want %v", watched, got, want)
		}
	}
}

func TestWide(t *testing.T) {
	for of, want := range map[[2]int]bool{
		{100, 1000}: false, {101, 1000}: true, {101, 20_200}: false, {102, 20_200}: true, {500, 100_000}: false, {501, 100_000}: true, {101, 0}: true,
	} {
		if got := Wide(of[0], of[1]); got != want {
			t.Errorf("%d of %d addresses: %t", of[0], of[1], got)
		}
	}
}
