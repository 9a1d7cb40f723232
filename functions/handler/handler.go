// Package handler is what the three handlers share: how one is built.
package handler

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Complete tells which fields of a handler's Config were forgotten: those that may be nil and are, but for the
// optional ones. A Config that is not complete would be a nil pointer in the middle of a night.
func Complete(config any, optional ...string) error {
	v := reflect.ValueOf(config)
	var missing []string
	for _, field := range reflect.VisibleFields(v.Type()) { // those of embedded parts too
		name := field.Name
		switch f := v.FieldByIndex(field.Index); f.Kind() {
		case reflect.Interface, reflect.Func, reflect.Map, reflect.Pointer:
			if f.IsNil() && !slices.Contains(optional, name) {
				missing = append(missing, name)
			}
		default:
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s lacks %s", v.Type(), strings.Join(missing, ", "))
	}
	return nil
}
