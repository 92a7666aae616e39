# The tables publish.
class PublishClinic < ActiveRecord::Migration[6.1]
  def change
    reversible do |direction|
      direction.up do
        execute <<~SQL
          SELECT hcevents.attach_healthcore(
              patient_columns => '{name,email,version}',
              appointment_columns => '{patient_id,status,version}')
        SQL
      end
      direction.down do
        execute "SELECT hcevents.detach('patients', 'patient'), " \
                "hcevents.detach('appointments', 'appointment')"
      end
    end
  end
end
