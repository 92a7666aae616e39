"""The patients of the programs in Python: test data, no ORM."""

# Names that a careless writer of JSON, of SQL or of UTF-8 gets wrong.
UNICODE_NAMES = [
    'Zoë Müller-Ångström',
    'Анна Каренина',
    '山田 太郎',
    'مريم الفاسي',
    'שרה כהן',
    'सीता शर्मा',
    'Μαρία "Ρία" Παπαδοπούλου',
    "Seán O'Brien \\ back\\\\slash",
    'two\nlines\tand a tab',
    '\U0001f469\u200d\u2695\ufe0f \U0001f600 e\u0301',
]


def email(label, number=0):
    return f'{label}.{number}@clinic.example'


def people(label, count):
    """Pairs of a name and an email that no other label has."""
    return [(f'{label} {number}', email(label, number))
            for number in range(count)]
