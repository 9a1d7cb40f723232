// Package cloud deploys the product as it is, template.yaml and three Linux programs, into an emulated AWS
// account, and watches a day there: schedules fire, the queue fills and drives the checker, the applier
// unverifies, alarms reach a subscriber. It holds tests alone; `make cloud` runs them with progress.
//
// ministack is CloudFormation, Lambda, Scheduler, SQS, SSM, SNS, CloudWatch and the rest; the tables' data is in
// DynamoDB Local. The registry is infra/refregistry, the internet infra/sim. Time is real.
package cloud
