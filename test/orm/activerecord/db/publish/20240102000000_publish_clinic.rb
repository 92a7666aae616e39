class PublishClinic < ActiveRecord::Migration[6.1]
  def change
    reversible do |direction|
      direction.up do
        execute "SELECT hcevents.attach('patients', 'patient', '{name,email}')"
        execute <<~SQL
          SELECT hcevents.attach('appointments', 'appointment', '{patient_id,status}',
              on_insert => 'booked', on_update => NULL, on_delete => NULL,
              transitions => '[{"column": "status", "to": "cancelled", "event": "cancelled"},
                               {"column": "status", "to": "completed", "event": "completed"}]')
        SQL
      end
      direction.down do
        execute "SELECT hcevents.detach('appointments', 'appointment')"
        execute "SELECT hcevents.detach('patients', 'patient')"
      end
    end
  end
end
