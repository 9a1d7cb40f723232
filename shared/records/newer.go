package records

import (
	"encoding/json"
	"fmt"
)

// Newer is the error of a read that met items which a newer version of this program wrote: after a return to the
// version before, or while two are at work. They are left as they are, and the read gave the others.
// Who meets one skips it (Parts.skip in applier, Handler.skip in checker, fanout's dispatch and sync), and counts it in the
// metric ItemsSkipped.
type Newer struct{ Names []string }

// Error implements error.
func (e *Newer) Error() string {
	return fmt.Sprintf("%d items of a newer schema: this version leaves them alone, first %s", len(e.Names), e.Names[0])
}

// newer tells whether an item that cannot be read has a newer schema, in which all but that number may be otherwise.
func newer(data []byte, known int) bool {
	var v struct {
		Schema int `json:"v"`
	}
	return json.Unmarshal(data, &v) == nil && v.Schema > known
}
