package dns

import "sync"

// Letters of the name in a question go out in random case; a server that answers copies the question byte for byte, so
// that whoever forges an answer without having seen the question must guess the case besides ID and port
// (draft-vixie-dnsext-dns0x20). Names mean the same in either case (RFC 4343).
//
// A UDP answer in another case is believed only from a server that is known to fold it. That is learned over TCP,
// where an answer cannot be forged by one who does not see the question.

// folding are the servers that do not copy the case of a question.
type folding struct{ servers sync.Map }

func (f *folding) learn(server string) { f.servers.Store(server, true) }

func (f *folding) known(server string) bool {
	_, ok := f.servers.Load(server)
	return ok
}

// setCase gives the letters of a packed, uncompressed name the case that the bits of random say: 1 is upper case.
func setCase(name []byte, random uint64) {
	walkLetters(name, func(i int, k uint) bool {
		name[i] = name[i] | 0x20 ^ byte(random>>k&1)<<5
		return true
	})
}

// sameCase tells whether a reply repeats the question's name as setCase made it. A compressed name is no copy.
func sameCase(packet []byte, random uint64) bool {
	if len(packet) < headerSize {
		return false
	}
	name := packet[headerSize:]
	return walkLetters(name, func(i int, k uint) bool { return name[i]>>5&1 != byte(random>>k&1) })
}

// walkLetters calls f with the place and the number, modulo 64, of each letter of a packed name, until it is false.
// It reports whether f never was, and the name had an end and no compression.
func walkLetters(name []byte, f func(i int, k uint) bool) bool {
	k := uint(0)
	for i := 0; i < len(name); {
		n := int(name[i])
		switch {
		case n == 0:
			return true
		case n > 63 || i+n >= len(name):
			return false
		}
		for end := i + n; i < end; {
			i++
			if c := name[i] | 0x20; c < 'a' || c > 'z' {
				continue
			}
			if !f(i, k) {
				return false
			}
			k = (k + 1) % 64
		}
		i++
	}
	return false
}
