package store

// Limits of the contract, chosen within DynamoDB's quotas
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html).
const (
	// MaxData is the largest Item.Data in bytes: DynamoDB's 400 KB per item, keys and numbers included, with room left.
	MaxData = 380 << 10
	// MaxWrites is the number of items in one transaction (TransactWriteItems: 100).
	MaxWrites = 100
	// MaxGetMany is the number of keys in one GetMany; BatchGetItem takes 100, the implementation splits.
	MaxGetMany = 10_000
	// MaxWriteBytes is the size of one Write's keys and data together (TransactWriteItems: 4 MB in all).
	MaxWriteBytes = 3 << 20
	// MaxPage is the largest limit of Query, Scan and Due: what a caller holds in memory at once.
	MaxPage = 10_000
	// MaxSegments is the largest number of segments of a Scan; DynamoDB takes a million.
	MaxSegments = 4096
	// MaxKey is the longest PK or SK in bytes (DynamoDB: sort key 1,024).
	MaxKey = 1024
	// Shards is the number of partitions of the index of due items. One takes 1,000 writes a second; a run over a
	// million domains brings thirty, and each further one is one more read of every tick.
	Shards = 1
)
