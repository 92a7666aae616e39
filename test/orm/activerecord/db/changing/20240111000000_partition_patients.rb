# The table becomes the first partition of a partitioned one of its name.
#
# The attachment goes from the table to the partitioned one: ATTACH PARTITION
# gives a partition the triggers of its parent, and refuses one that has a
# trigger of that name already.  The foreign key goes with it.
class PartitionPatients < ActiveRecord::Migration[6.1]
  def up
    unpublish
    rename_table :clinic_patients, :clinic_patients_all
    execute <<~SQL
      CREATE TABLE clinic_patients
        (LIKE clinic_patients_all INCLUDING DEFAULTS, PRIMARY KEY (id)) PARTITION BY RANGE (id);
      ALTER TABLE clinic_patients ATTACH PARTITION clinic_patients_all
        FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
    SQL
    publish
  end

  def down
    unpublish
    execute 'ALTER TABLE clinic_patients DETACH PARTITION clinic_patients_all'
    drop_table :clinic_patients
    rename_table :clinic_patients_all, :clinic_patients
    publish
  end

  private

  def unpublish
    execute 'LOCK TABLE clinic_patients, appointments IN ACCESS EXCLUSIVE MODE'
    execute "SELECT hcevents.detach('clinic_patients', 'patient')"
    execute 'ALTER TABLE appointments DROP CONSTRAINT appointments_patient'
  end

  def publish
    execute <<~SQL
      ALTER TABLE appointments ADD CONSTRAINT appointments_patient FOREIGN KEY (patient_id)
        REFERENCES clinic_patients ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
      SELECT hcevents.attach('clinic_patients', 'patient', '{name,email,version,phone:telephone}');
    SQL
  end
end
