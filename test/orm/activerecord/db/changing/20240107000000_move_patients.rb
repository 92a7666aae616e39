# Into the schema of the role's name, where its search path begins.
class MovePatients < ActiveRecord::Migration[6.1]
  def up
    create_schema 'clinic'
    execute 'ALTER TABLE clinic_patients SET SCHEMA clinic'
  end

  def down
    execute 'ALTER TABLE clinic.clinic_patients SET SCHEMA public'
    drop_schema 'clinic'
  end
end
