"""Comparison of Moldau with Apache Kafka, request by request. Start: tests/interop/kafka-diff/run."""
