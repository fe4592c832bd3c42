"""Topics of Kafka clusters, AWS's (MSK) and one's own."""
