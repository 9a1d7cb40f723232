package main
type demoCommand struct{}
type restoreCommand struct{}
type statusCommand struct{}
func (*demoCommand) Run(s streams) error { return nil }
func (*restoreCommand) Run(s streams) error { return nil }
func (*statusCommand) Run(s streams) error { return nil }
