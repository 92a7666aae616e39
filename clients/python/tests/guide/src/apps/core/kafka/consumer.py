from hcevents.consumer import KafkaConsumer as KafkaConsumer
