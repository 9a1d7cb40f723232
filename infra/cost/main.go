// Command cost prints what the stack costs a month: list prices with their date and region, volumes from the
// product's own constants, every assumption. make cost runs it.
package main

import (
	"fmt"
	"os"

	"github.com/lapseguard/lapseguard/infra/cost/bill"
)

func main() {
	if err := bill.Print(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}
