package bill

// PricesOf and PricesIn say of which day and region the list is: on-demand list prices as AWS published them on its
// pricing pages. Prices change seldom and mostly fall; compare before you rely on a cent.
const (
	PricesOf = "2025-11-01"
	PricesIn = "us-east-1 (N. Virginia)"
)

// price is one line of the list, in US dollars.
type price struct {
	key  string
	usd  float64
	per  float64 // units that usd buys
	unit string
	page string // below https://aws.amazon.com/
}

const million = 1e6

// prices is the list.
func prices() []price {
	return []price{
		{"lambda/request", 0.20, million, "requests", "lambda/pricing"},
		{"lambda/gbs", 0.0000133334, 1, "GB-seconds on arm64", "lambda/pricing"},
		{"sqs/fifo", 0.50, million, "requests of up to 64 KB", "sqs/pricing"},
		{"dynamodb/write", 0.625, million, "write request units", "dynamodb/pricing/on-demand"},
		{"dynamodb/read", 0.125, million, "read request units", "dynamodb/pricing/on-demand"},
		{"dynamodb/storage", 0.25, 1, "GB-months", "dynamodb/pricing/on-demand"},
		{"dynamodb-ia/write", 0.78, million, "write request units, infrequent access", "dynamodb/pricing/on-demand"},
		{"dynamodb-ia/read", 0.155, million, "read request units, infrequent access", "dynamodb/pricing/on-demand"},
		{"dynamodb-ia/storage", 0.10, 1, "GB-months, infrequent access", "dynamodb/pricing/on-demand"},
		{"dynamodb/pitr", 0.20, 1, "GB-months of point-in-time recovery", "dynamodb/pricing/on-demand"},
		{"scheduler/call", 1.00, million, "invocations", "eventbridge/pricing"},
		{"cloudwatch/metric", 0.30, 1, "metric-months, charged by the hour", "cloudwatch/pricing"},
		{"cloudwatch/alarm", 0.10, 1, "alarms", "cloudwatch/pricing"},
		{"cloudwatch/dashboard", 3.00, 1, "dashboards", "cloudwatch/pricing"},
		{"logs/ingest", 0.50, 1, "GB taken in", "cloudwatch/pricing"},
		{"logs/storage", 0.03, 1, "GB-months", "cloudwatch/pricing"},
		{"ssm/read", 0, million, "reads of standard parameters (no charge)", "systems-manager/pricing"},
		{"kms/call", 0.03, 10_000, "requests", "kms/pricing"},
		{"sns/mail", 2.00, 100_000, "e-mails", "sns/pricing"},
		{"transfer/out", 0.09, 1, "GB to the internet", "ec2/pricing/on-demand"},
	}
}
