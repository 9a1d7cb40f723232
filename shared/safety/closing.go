package safety

// ClosingLimits bound how many domains recovery is closed at within Window: 1 % of the watched domains or 10, whichever
// is more, never above a quarter of all, but at least one. A closing undoes itself, so that it may be wrong about more
// domains than an unverification, and what does not fit waits instead of being held. Those who only depend on a lapsed
// host, which ClassCount is for, take half of it at most: one host must not delay the domains that lapsed themselves.
// Where nobody counted the watched domains yet, it is 10.
func ClosingLimits(watched int) Limits {
	n := max(10, watched/100)
	if watched > 0 {
		n = max(min(n, watched/4), 1)
	}
	return Limits{Count: n, ClassCount: max(n/2, 1)}
}

// Wide tells whether closing recovery at so many of all addresses for one cause is a person's to decide: more than a
// hundred of them, and more than half a percent.
func Wide(addresses, all int) bool {
	return addresses > 100 && float64(addresses) > 0.005*float64(all)
}
