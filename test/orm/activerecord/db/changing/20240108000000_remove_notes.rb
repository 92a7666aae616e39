# A column that is not published goes.
class RemoveNotes < ActiveRecord::Migration[6.1]
  def change
    remove_column :clinic_patients, :notes, :text, null: false, default: 'none'
  end
end
