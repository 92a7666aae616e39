from hcevents import KafkaProducer as KafkaProducer
