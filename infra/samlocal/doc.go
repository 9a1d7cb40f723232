// Package samlocal invokes the three functions with `sam local invoke`: the deployed binaries, in containers,
// with the events of infra/events and the environment of infra/env.local.json, against the emulators, the
// reference registry and the simulated internet. All of it is in tests, which need a Docker engine and run only
// when asked to: `make test-sam`. What they play in can stay, for calls by hand: `make local-up`.
package samlocal
