"""Names, streets and phrases of the clinic, in the scripts of its patients.

Written with escapes where the characters are invisible or turn the line
around in an editor: right-to-left marks, joiners, combining accents.
"""

#: Script: (given names, family names).
NAMES = {
    'latin': (
        ['John', 'Mary', 'Anna', 'Peter', 'Sarah', 'Thomas', 'Laura', 'Paul'],
        ['Doe', 'Smith', 'Miller', 'Johnson', 'Brown', 'Fischer', 'Weber']),
    'accents': (
        ['José', 'Zoë', 'Françoise', 'Søren', 'Łukasz', 'Žofia', 'Ándrea',
         'Nguyễn Thị', 'İpek', 'Bjӧrn', 'Rene\u0301'],
        ['Müller', 'Núñez', "O'Brien", "D'Angelo", 'Ångström', 'Þórsdóttir',
         'Dvořák', 'Sébastien-Lévy', 'Ğökçe', 'ß-Großmann', 'Ćirić']),
    'cyrillic': (
        ['Анна', 'Дмитрий', 'Ольга', 'Євген', 'Наталія', 'Ђорђе'],
        ['Иванова', 'Достоевский', 'Шевченко', 'Ґава', 'Њежић', 'Щукин']),
    'greek': (
        ['Ελένη', 'Γεώργιος', 'Άννα', 'Ιωάννης', 'Σωκράτης'],
        ['Παπαδοπούλου', 'Αγγελόπουλος', 'Νικολαΐδης', 'Μυλωνάς']),
    'arabic': (
        ['محمد', 'فاطمة', 'عبد الله', 'زينب', 'یوسف'],
        ['الخطيب', 'بن سعيد', 'حسيني', 'النجّار']),
    'hebrew': (
        ['שרה', 'דוד', 'רחל', 'יוסף'],
        ['כהן', 'לוי', 'בן־גוריון', "צ'רניחובסקי"]),
    'devanagari': (
        ['आरव', 'प्रिया', 'श्रीनिवास', 'लक्ष्मी'],
        ['शर्मा', 'पटेल', 'भट्टाचार्य', 'सिंह']),
    'cjk': (
        ['伟', '美咲', '秀英', '민준', '서연', '𠮷雄', '健太郎'],
        ['王', '佐藤', '欧阳', '김', '髙橋', '남궁', '鈴木']),
    'thai': (
        ['สมชาย', 'กัญญา'], ['ศรีสุวรรณ', 'วงศ์สวัสดิ์']),
    'emoji': (
        ['Ana \U0001F60A', 'Kim \U0001F469\u200D\u2695\uFE0F',
         'Bo \U0001F1EB\U0001F1F7'],
        ['Sun\u2600\uFE0F', 'Lee \U0001F44D\U0001F3FD']),
    # The marks that forms copied from other programs leave behind.
    'marks': (
        ['\u200Fמרים\u200E', '\u202Bخالد\u202C', '\uFEFFPaula',
         'Jo\u00ADseph', 'Ann\u2011Marie'],
        ['\u2067לביא\u2069', 'Mac\u00A0Leod', 'de\u200Bla\u200BCruz']),
}

#: How often each script comes, in hundredths.
SHARES = (('latin', 40), ('accents', 20), ('cyrillic', 8), ('greek', 4),
          ('arabic', 6), ('hebrew', 4), ('devanagari', 5), ('cjk', 8),
          ('thai', 1), ('emoji', 2), ('marks', 2))

STREETS = ['High Street', 'Rue de l’Église', 'Königsallee', 'Calle Mayor',
           'ул. Ленина', 'Οδός Ερμού', 'شارع الملك', 'רחוב הרצל',
           'महात्मा गांधी मार्ग', '中山路', 'Østergade', '"The Elms" Lane']
CITIES = ['London', 'Zürich', 'São Paulo', 'Москва', 'Αθήνα', 'القاهرة',
          'ירושלים', 'मुंबई', '東京', 'Łódź']

#: What doctors write.
PHRASES = [
    'Patient reports headache since Monday; no fever.',
    'RR 120/80, puls 72/min, SpO₂ 98 %.',
    'Allergic to penicillin!',
    'Körpertemperatur 37,2 °C, Hals gerötet.',
    'Le patient prend 5 µg/j de vitamine D.',
    'Жалобы на боль в спине.',
    'المريض بحاجة إلى متابعة بعد أسبوع.',
    'החולה מרגיש טוב יותר.',
    '血圧は正常です。',
    'Follow-up: "in two weeks, or sooner if worse".',
    "Doesn't smoke; drinks <2 units/week & exercises.",
    'See file C:\\scans\\2024\\x-ray_01.dcm',
    'Dose:\t2 × 500 mg\n\tat meals',
    'Next of kin: see <a href="/patients/12">record</a>',
    '{"system": "old", "code": "J06.9"}',
]

REASONS = ['Check-up', 'Röntgen', 'Vaccination', 'Консультация', '複診',
           'متابعة', "Children's hour", 'Blood test \U0001FA78']
