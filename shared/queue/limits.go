package queue

// Limits of SQS FIFO (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html)
// and ours within them.
const (
	// BatchSize is the number of messages in one request, and the most that Lambda takes from a FIFO queue at once.
	BatchSize = 10
	// MaxMessage is the largest encoded message in bytes. Ten fit into one request (1 MiB), and each is
	// billed as one request (64 KiB).
	MaxMessage = 60 << 10
	// MaxID is the longest group and deduplication id (128 characters, alphanumeric and punctuation).
	MaxID = 128
	// MaxDelegation and MaxSlow are the most domains in one message: as many as an invocation can ask well
	// within its deadline, of a DNS server and of anything slower.
	MaxDelegation = 150
	MaxSlow       = 40
)
