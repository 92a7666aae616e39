// Names of many scripts, and what needs care in SQL or JSON.
export const names = [
  'Zoë Åström-Ñandú',
  'Иван Петрович',
  '山田 太郎',
  '김민준',
  'محمد عبد الله',
  'שרה כהן',
  'नीलम शर्मा',
  'นภา ศรีสุข',
  'Sinéad "Sin" O\'Brien \\ back\\\\slash',
  'Dr. 👩‍⚕️ 🏥\nsecond line\tand \u2028 more',
];
