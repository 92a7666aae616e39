module Steps
  BULK = 100

  # Names of many scripts, and what needs care in SQL or JSON.
  NAMES = [
    'Zoë Åström-Ñandú',
    'Иван Петрович',
    '山田 太郎',
    '김민준',
    'محمد عبد الله',
    'שרה כהן',
    'नीलम शर्मा',
    'นภา ศรีสุข',
    'Sinéad "Sin" O\'Brien \\ back\\\\slash',
    "Dr. 👩‍⚕️ 🏥\nsecond line\tand \u2028 more"
  ].freeze

  ALL = %i[create bulk_create update_field bulk_update upsert transition
           delete_cascade nested_rollback rollback failed_commit raw_sql
           concurrent unicode killed].freeze

  module_function

  def attributes(name, email)
    { name: name, email: "#{email}@example.com" }
  end

  def create_some(prefix, count)
    count.times { |i| Patient.create!(attributes("#{prefix} #{i}", "#{prefix}-#{i}")) }
  end

  def create
    Patient.create!(attributes('Ada Lovelace', 'ada'))
  end

  def bulk_create
    Patient.insert_all!(Array.new(BULK) { |i| attributes("Bulk #{i}", "bulk-#{i}") })
  end

  def update_field
    Patient.find_by!(email: 'ada@example.com').update!(email: 'countess@example.com')
  end

  def bulk_update
    updated = Patient.where('email LIKE ?', 'bulk-%').update_all('version = version + 1')
    raise "#{updated} rows updated" unless updated == BULK
  end

  # Every second of the ten is there already.
  def upsert
    rows = Array.new(5) do |i|
      [attributes("Known #{i}", "bulk-#{i}"), attributes("New #{i}", "upsert-#{i}")]
    end
    Patient.upsert_all(rows.flatten, unique_by: :email)
  end

  def with_appointments(patient, count)
    patient.appointments.build(Array.new(count) { { status: 'booked' } })
    patient.save!
    patient
  end

  def transition
    grace = with_appointments(Patient.new(attributes('Grace Hopper', 'grace')), 3)
    first, second = grace.appointments.to_a
    first.update!(status: 'completed')
    second.update_column(:status, 'cancelled')
  end

  def delete_cascade
    with_appointments(Patient.new(attributes('Alan Turing', 'alan')), 2).destroy!
  end

  def nested_rollback
    Patient.transaction do
      Patient.create!(attributes('Outer', 'outer'))
      Patient.transaction(requires_new: true) do
        Patient.create!(attributes('Inner', 'inner'))
        raise ActiveRecord::Rollback
      end
    end
  end

  def rollback
    Patient.transaction do
      create_some('rollback', 5)
      raise ActiveRecord::Rollback
    end
  end

  # The foreign key is checked at COMMIT.
  def failed_commit
    written = false
    Patient.transaction do
      Patient.create!(attributes('Nobody', 'nobody'))
      Appointment.create!(patient_id: 1 << 40, status: 'booked')
      written = true
    end
    raise 'COMMIT succeeded without the patient'
  rescue ActiveRecord::InvalidForeignKey
    raise unless written
  end

  def raw_sql
    Patient.connection.execute(
      "INSERT INTO patients (name, email) VALUES ('Raw', 'raw@example.com')"
    )
  end

  def in_thread(&work)
    Thread.new { ActiveRecord::Base.connection_pool.with_connection(&work) }
  end

  def concurrent
    Array.new(8) { |i| in_thread { create_some("writer-#{i}", 25) } }.each(&:join)
  end

  def unicode
    NAMES.each_with_index { |name, i| Patient.create!(attributes(name, "unicode-#{i}")) }
  end

  # An administrator ends the session in the middle of a transaction.
  def killed
    ended = false
    Patient.transaction do
      create_some('killed', 3)
      pid = Patient.connection.select_value('SELECT pg_backend_pid()')
      ended = in_thread do |other|
        other.select_value("SELECT pg_terminate_backend(#{pid}, 30000)")
      end.value
    end
    raise 'COMMIT succeeded in a session that has ended'
  rescue ActiveRecord::StatementInvalid, PG::Error
    raise unless ended
  end
end
