-- The relay's pure modules, apart from relay and Kafka.
SELECT seed, hce_test_settle(seed) FROM generate_series(1, 5) AS seed;
SELECT hce_test_assembler();
