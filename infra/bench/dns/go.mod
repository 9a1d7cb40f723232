// The comparison stands in a module of its own, so that nothing it needs is a requirement of the product.
module github.com/lapseguard/lapseguard/infra/bench/dns

go 1.26.0

require (
	github.com/lapseguard/lapseguard v0.0.0
	github.com/miekg/dns v1.1.73
)

require (
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/lapseguard/lapseguard => ../../..
