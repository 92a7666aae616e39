-- Patients 1 to 200 are never deleted: all clients update these few, so that
-- the order of one key's events is at stake.
INSERT INTO public.patients (name, email)
SELECT public.any_name(), 'p' || n || '@example.com'
  FROM generate_series(1, 200) AS n
 WHERE NOT EXISTS (SELECT FROM public.patients);
