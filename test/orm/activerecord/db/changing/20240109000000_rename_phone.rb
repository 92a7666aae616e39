# A published column gets another name; it is published under the old one.
class RenamePhone < ActiveRecord::Migration[6.1]
  def change
    rename_column :clinic_patients, :phone, :telephone
  end
end
