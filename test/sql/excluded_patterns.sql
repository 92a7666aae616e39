-- hcevents.excluded_databases: which values are patterns.
\set VERBOSITY default
SHOW hcevents.excluded_databases;
SELECT context, vartype FROM pg_settings WHERE name = 'hcevents.excluded_databases';
SET hcevents.excluded_databases = 'x';
ALTER SYSTEM SET hcevents.excluded_databases = 'a,,b';
ALTER SYSTEM SET hcevents.excluded_databases = 'two words';
ALTER SYSTEM SET hcevents.excluded_databases = 'test_%';
ALTER SYSTEM SET hcevents.excluded_databases = 'test_*, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa';
ALTER DATABASE template1 SET hcevents.excluded_databases = 'x';
-- valid ones
ALTER SYSTEM SET hcevents.excluded_databases = 'test_*', 'ci_?', '"with, comma"';
ALTER SYSTEM SET hcevents.excluded_databases = '';
ALTER SYSTEM RESET hcevents.excluded_databases;
-- what they match
SELECT name, pattern, hce_test_excluded(name, pattern) AS excluded FROM (VALUES
	('test_x', 'test_*'), ('test_', 'test_*'), ('test', 'test_*'), ('my_test_x', 'test_*'),
	('Test_x', 'test_*'), ('testax', 'test_*'), ('ci_1', 'test_*,ci_?'), ('ci_12', 'test_*, ci_?'), ('ci_', 'ci_?'),
	('anything', '*'), ('abcabd', '*ab?'), ('aXbXc', 'a*b*c'), ('aXbX', 'a*b*c'), ('mississippi', 'm*iss*ip*'), ('a*b', 'a*b'),
	('with, comma', '"with, comma"'), ('x', ''), ('', '*'), ('[ab]', '[ab]'), ('a', '[ab]')) AS t(name, pattern);
