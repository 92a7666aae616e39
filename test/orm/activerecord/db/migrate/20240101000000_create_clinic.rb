class CreateClinic < ActiveRecord::Migration[6.1]
  def change
    create_table :patients do |t|
      t.text :name, null: false
      t.text :email, index: { unique: true }
      t.integer :version, null: false, default: 1
    end

    create_table :appointments do |t|
      t.references :patient, null: false,
                   foreign_key: { name: 'appointments_patient', on_delete: :cascade }
      t.text :status, null: false
      t.integer :version, null: false, default: 1
    end

    reversible do |direction|
      direction.up do
        execute 'ALTER TABLE appointments ALTER CONSTRAINT appointments_patient ' \
                'DEFERRABLE INITIALLY DEFERRED'
      end
    end
  end
end
