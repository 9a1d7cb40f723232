// The comparison stands in a module of its own, so that openrdap is no requirement of the product.
module github.com/lapseguard/lapseguard/infra/bench/rdap

go 1.26.0

require (
	github.com/lapseguard/lapseguard v0.0.0
	github.com/openrdap/rdap v0.10.2
)

require (
	github.com/alecthomas/kingpin/v2 v2.4.0 // indirect
	github.com/alecthomas/units v0.0.0-20240927000941-0f3dac36c52b // indirect
	github.com/go-json-experiment/json v1.27.2 // indirect
	github.com/mitchellh/go-homedir v1.1.0 // indirect
	github.com/xhit/go-str2duration/v2 v2.1.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/lapseguard/lapseguard => ../../..
