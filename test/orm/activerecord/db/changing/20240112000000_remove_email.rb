# A published column would go: refused, so this one is never applied.
class RemoveEmail < ActiveRecord::Migration[6.1]
  def change
    remove_column :clinic_patients, :email, :text
  end
end
