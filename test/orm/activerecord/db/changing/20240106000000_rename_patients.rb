# The table gets another name, and with it Rails renames its sequence and
# indexes.
class RenamePatients < ActiveRecord::Migration[6.1]
  def change
    rename_table :patients, :clinic_patients
  end
end
