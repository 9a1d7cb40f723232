#!/usr/bin/env bash
# Has an alarm of the deployed stack go off on purpose, so that you see whether anybody hears it. Says first who is
# subscribed: a subscription that was never confirmed hears nothing. Stack and region as in remote.sh.
set -euo pipefail
here=$(dirname "$0")
stack=$("$here/remote.sh" --stack)
region=$("$here/remote.sh" --region)
[ -z "$region" ] || export AWS_REGION="$region" AWS_DEFAULT_REGION="$region"
command -v aws >/dev/null || { echo 'aws is missing: install the AWS CLI' >&2; exit 1; }

topic=$(aws cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].Outputs[?OutputKey=='AlarmTopicArn'].OutputValue" --output text)
[ -n "$topic" ] && [ "$topic" != None ] || { echo "stack $stack has no output AlarmTopicArn" >&2; exit 1; }
subscribed=$(aws sns list-subscriptions-by-topic --topic-arn "$topic" --query 'Subscriptions[].SubscriptionArn' --output text)
confirmed=0 waiting=0
for arn in $subscribed; do
  case $arn in PendingConfirmation) waiting=$((waiting + 1)) ;; None | Deleted) ;; *) confirmed=$((confirmed + 1)) ;; esac
done
printf '%s: %d confirmed, %d not confirmed\n' "$topic" "$confirmed" "$waiting"
[ "$waiting" -eq 0 ] || echo 'Who is not confirmed hears nothing: open the link in the mail that AWS sent, or deploy once more for another one.' >&2
[ "$confirmed" -gt 0 ] || { echo 'Nobody hears an alarm of this stack.' >&2; exit 1; }

aws cloudwatch set-alarm-state --alarm-name "$stack-dead-letters" --state-value ALARM --state-reason 'make alarm-test: nothing is wrong'
printf 'The alarm %s-dead-letters goes off now, and ends by itself within minutes. Whoever is subscribed hears both.\n' "$stack"
